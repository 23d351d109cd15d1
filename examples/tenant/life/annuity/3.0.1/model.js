"use strict";

// Yearly pension bought with a single payment.
exports.load = async (bytes) => {
  const { instance } = await WebAssembly.instantiate(bytes);
  return (payment, annuity_factor) => instance.exports.pension(payment, annuity_factor);
};
