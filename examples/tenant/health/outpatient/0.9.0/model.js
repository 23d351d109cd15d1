"use strict";

// Refund of an outpatient bill.
exports.load = async (bytes) => {
  const { instance } = await WebAssembly.instantiate(bytes);
  return (bill, limit) => instance.exports.refund(bill, limit);
};
