"use strict";
// Calculates cases with a module's own JavaScript: node second_opinion.js FOLDER STEM < cases > replies
const fs = require("fs");
const path = require("path");
const [folder, stem] = process.argv.slice(2);
const lines = fs.readFileSync(0, "utf8").split("\n").filter(Boolean);
const factory = require(path.join(folder, `${stem}.js`));
const options = {
  wasmBinary: fs.readFileSync(path.join(folder, `${stem}.wasm`)),
  locateFile: (name) => path.join(folder, name),
};
Promise.resolve(factory(options)).then((module) => {
  const number = (p) => Buffer.from(module.HEAPU8.buffer).readUInt32LE(p >>> 0);
  const handle = module._construct();
  const replies = lines.map((line) => {
    const sent = Buffer.from(line);
    const box = module._malloc(sent.length) >>> 0;
    const size = module._malloc(8) >>> 0;
    module.HEAPU8.set(sent, box);
    const reply = module._node_calc_v3(handle, box, sent.length, size) >>> 0;
    const text = Buffer.from(module.HEAPU8.slice(reply, reply + number(size))).toString();
    [reply, box, size].forEach((pointer) => module._free(pointer));
    return text;
  });
  fs.writeSync(1, replies.map((text) => JSON.stringify(text) + "\n").join(""));
});
