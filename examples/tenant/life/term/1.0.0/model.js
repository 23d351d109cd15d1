"use strict";

// Yearly premium of a term life policy.
exports.load = async (bytes) => {
  const { instance } = await WebAssembly.instantiate(bytes);
  return (sum_insured, mortality) => instance.exports.premium(sum_insured, mortality);
};
