"use strict";

// Expected payment for a reported motor claim.
exports.load = async (bytes) => {
  const { instance } = await WebAssembly.instantiate(bytes);
  return (reported, deductible, limit) =>
    instance.exports.expected_payment(reported, deductible, limit);
};
