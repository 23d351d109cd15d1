"use strict";

// Product of two numbers.
exports.load = async (bytes) => {
  const { instance } = await WebAssembly.instantiate(bytes);
  return (left, right) => instance.exports.product(left, right);
};
