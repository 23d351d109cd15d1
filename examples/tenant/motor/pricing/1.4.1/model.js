"use strict";

// A toy with the interface of a compiled Spark module: invented, for examples and tests.
var wasmImports={};
var Module = (options = {}) => {
  const Module = Object.assign({}, options);
  const bytes = options.wasmBinary;
  return WebAssembly.instantiate(bytes, { a: options.imports || {} }).then(({ instance }) => {
    Module["asm"] = instance.exports;
    const wasmMemory=Module["asm"]["w"];
    Object.defineProperty(Module, "HEAPU8", { get: () => new Uint8Array(wasmMemory.buffer) });
    Module["_construct"]=Module["asm"]["z"];
    Module["_destroy"]=Module["asm"]["A"];
    Module["_is_async"]=Module["asm"]["B"];
    Module["_node_calc_v3"]=Module["asm"]["C"];
    Module["_malloc"]=Module["asm"]["D"];
    Module["_free"]=Module["asm"]["F"];
    const addOnInit = (start) => start();
    addOnInit(Module["asm"]["x"]);
    return Module;
  });
};
module.exports = Module;
