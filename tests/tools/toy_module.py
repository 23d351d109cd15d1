"""Make toy modules with the interface of a compiled Spark module, from WebAssembly text.

``python tests/tools/toy_module.py`` rebuilds ``model.wasm`` and ``model.js`` beside every
``model.wat`` of the example tenant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import wasmtime

EXAMPLES = Path(__file__).parents[2] / "examples" / "tenant"
SKELETON = Path(__file__).with_name("toy_module.wat")
# The functions of the interface by their short names, which a compiler chooses freely.
JS = """\
"use strict";

// A toy with the interface of a compiled Spark module: invented, for examples and tests.
var wasmImports={IMPORTS};
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
"""
HEAD = '{"response_data":{"outputs":{'
TAIL = '},"response_meta":{"compiler_type":"Neuron","system":"SPARK","compiler_version":"1.22.3"}}'
WARNING = '{"source_path":"Default Values","message":"Input parameter missing for \''
MISSING = "'. API request processed using the default values saved into the file.\"}"


@dataclass
class Toy:
    """Inputs with their defaults, and outputs with their formulas.

    A formula is WebAssembly text of type f64, in which ``(local.get $NAME)`` is an input. ``begin``
    runs before the formulas, ``start`` once; ``imports`` and ``functions`` are more of the module.
    """

    inputs: dict[str, float]
    outputs: dict[str, str]
    begin: str = ""
    start: str = ""
    imports: dict[str, str] = field(default_factory=dict)
    functions: str = ""
    pages: int = 2
    is_async: int = 0

    def wat(self) -> str:
        """Return the module as WebAssembly text."""
        texts = _Texts()
        reads = [
            f"(local.set ${name} (call $input (local.get $p) (local.get $end) "
            f"{texts.at(_key(name))} (f64.const {value:g})))"
            for name, value in self.inputs.items()
        ]
        writes = []
        for number, (name, formula) in enumerate(self.outputs.items()):
            start = texts.at(f'{"," if number else ""}"{name}":')
            writes.append(f"(call $put {start})\n    (call $number\n      {formula})")
        warnings = [
            f"(local.set $warned (call $missing (local.get $p) (local.get $end) "
            f"{texts.at(_key(name))} (local.get $warned)))"
            for name in self.inputs
        ]
        parts = {
            "IMPORTS": "\n  ".join(self.imports.values()),
            "LOCALS": " ".join(f"(local ${name} f64)" for name in self.inputs),
            "READS": "\n    ".join(reads),
            "BEGIN": self.begin,
            "WRITES": "\n    ".join(writes),
            "WARNINGS": "\n    ".join(warnings),
            "HEAD": texts.at(HEAD),
            "ENDOUT": texts.at("}"),
            "TAIL": texts.at(TAIL),
            "WARN": texts.at(',"warnings":['),
            "MISSING1": texts.at(WARNING),
            "MISSING2": texts.at(MISSING),
            "VALUE": texts.at('"#VALUE!"'),
            "NULL": texts.at("null"),
            "START": self.start,
            "FUNCTIONS": self.functions,
            "PAGES": str(self.pages),
            "ASYNC": str(self.is_async),
        }
        text = SKELETON.read_text(encoding="utf-8")
        for name, part in {**parts, "TEXTS": texts.data}.items():
            text = text.replace(f"«{name}»", part)
        return "\n".join(line for line in text.splitlines() if line.strip()) + "\n"

    def files(self) -> dict[str, bytes]:
        """Return the files of a version in a served folder."""
        return {
            "model.wasm": bytes(wasmtime.wat2wasm(self.wat())),
            "model.js": code(self.imports).encode(),
            "model.data": b"",
        }


def code(imports: dict[str, str]) -> str:
    """Return the start-up code; ``imports`` are the declarations by the functions' names."""
    pairs = (f"i{number}:{name}" for number, name in enumerate(imports))
    return JS.replace("IMPORTS", ",".join(pairs))


def _key(name: str) -> str:
    return f'"{name}":'


@dataclass
class _Texts:
    """The texts in a module's memory, each once."""

    found: dict[str, int] = field(default_factory=dict)
    length: int = 0

    def at(self, text: str) -> str:
        """Return address and length of a text."""
        if text not in self.found:
            self.found[text] = self.length
            self.length += len(text)
        return f"(i32.const {self.found[text]}) (i32.const {len(text)})"

    @property
    def data(self) -> str:
        """All texts, as WebAssembly text."""
        return "".join(self.found).replace("\\", "\\\\").replace('"', '\\"')


def life(loading: str) -> Toy:
    """Return a premium by age, sum insured and smoking; smokers pay the loading."""
    bands = {30: "1.10", 40: "1.65", 50: "3.20", 60: "7.85"}
    rate = "(f64.const 16.40)"
    for age, each in reversed(bands.items()):
        less = f"(f64.lt (local.get $age) (f64.const {age}))"
        rate = f"(select (f64.const {each}) {rate} {less})"
    rate = f"(f64.mul {rate} (f64.add (f64.const 1) (f64.mul (f64.const 0) (local.get $age))))"
    smoking = f"(f64.add (f64.const 1) (f64.mul (f64.const {loading}) (local.get $smoker)))"
    base = f"(f64.div (f64.mul {rate} (local.get $sum_insured)) (f64.const 1000))"
    inputs = {"age": 35.0, "sum_insured": 100000.0, "smoker": 0.0}
    return Toy(inputs, {"premium": f"(f64.mul {base} {smoking})", "rate": rate})


def motor(loading: str) -> Toy:
    """Return the premium of the example tenant: high risks pay the loading."""
    factor = "(local.get $driver_factor)"
    risk = f"(select (f64.const {loading}) (f64.const 1) (f64.ge {factor} (f64.const 2)))"
    base = f"(f64.mul (f64.mul (local.get $vehicle_value) (f64.const 0.031)) {factor})"
    premium = f"(f64.add (f64.mul {base} {risk}) (f64.const 25))"
    return Toy({"vehicle_value": 20000.0, "driver_factor": 1.0}, {"premium": premium})


def rebuild(folder: Path) -> bytes:
    """Return the module of the WebAssembly text in a folder."""
    return bytes(wasmtime.wat2wasm((folder / "model.wat").read_text(encoding="utf-8")))


def main() -> None:
    """Write the modules of the example tenant."""
    for path in sorted(EXAMPLES.rglob("model.wat")):
        path.with_suffix(".wasm").write_bytes(rebuild(path.parent))
        path.with_suffix(".js").write_text(code({}), encoding="utf-8")


if __name__ == "__main__":
    main()
