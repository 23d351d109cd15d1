"use strict";

// Yearly premium of a motor policy.
exports.load = async (bytes) => {
  const { instance } = await WebAssembly.instantiate(bytes);
  return (vehicle_value, driver_factor) => instance.exports.premium(vehicle_value, driver_factor);
};
