;; A toy with the interface of a compiled Spark module. JSON comes in and goes out as text.
(module
  «IMPORTS»
  (memory (export "w") «PAGES»)
  (global $heap (mut i32) (i32.const 8192))
  (global $live (mut i32) (i32.const 0))
  (global $out (mut i32) (i32.const 0))
  (data (i32.const 0) "«TEXTS»")
  ;; start-up, a new workbook, its end, and whether it calls other services
  (func (export "x") «START»)
  (func (export "z") (result i32) (i32.const 1))
  (func (export "A") (param i32))
  (func (export "B") (param i32) (result i32) (i32.const «ASYNC»))
  ;; memory is handed out in a row, from the start again once all is free
  (func $malloc (export "D") (param $n i32) (result i32) (local $p i32)
    (local.set $p (global.get $heap))
    (global.set $heap
      (i32.and (i32.add (i32.add (local.get $p) (local.get $n)) (i32.const 15)) (i32.const -8)))
    (global.set $live (i32.add (global.get $live) (i32.const 1)))
    (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
      (then (if (i32.eq (i32.const -1)
          (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $n) (i32.const 16)))))
        (then (unreachable)))))
    (local.get $p))
  (func (export "F") (param i32)
    (global.set $live (i32.sub (global.get $live) (i32.const 1)))
    (if (i32.eqz (global.get $live)) (then (global.set $heap (i32.const 8192)))))
  ;; writing: a text, a byte, a whole number, a number with two decimals
  (func $put (param $p i32) (param $n i32)
    (memory.copy (global.get $out) (local.get $p) (local.get $n))
    (global.set $out (i32.add (global.get $out) (local.get $n))))
  (func $byte (param $b i32)
    (i32.store8 (global.get $out) (local.get $b))
    (global.set $out (i32.add (global.get $out) (i32.const 1))))
  (func $digit (param $v i64)
    (call $byte (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $v) (i64.const 10))))))
  (func $whole (param $v i64)
    (if (i64.ge_u (local.get $v) (i64.const 10))
      (then (call $whole (i64.div_u (local.get $v) (i64.const 10)))))
    (call $digit (local.get $v)))
  (func $number (param $x f64) (local $v i64)
    (if (f64.ne (local.get $x) (local.get $x)) (then (call $put «VALUE») (return)))
    (if (f64.gt (f64.abs (local.get $x)) (f64.const 1e15)) (then (call $put «NULL») (return)))
    (local.set $v
      (i64.trunc_f64_u (f64.nearest (f64.mul (f64.abs (local.get $x)) (f64.const 100)))))
    (if (f64.lt (local.get $x) (f64.const 0)) (then (call $byte (i32.const 45))))
    (call $whole (i64.div_u (local.get $v) (i64.const 100)))
    (call $byte (i32.const 46))
    (call $digit (i64.div_u (local.get $v) (i64.const 10)))
    (call $digit (local.get $v)))
  ;; reading: the place behind "name":, and the number there, which is NaN for any other value
  (func $find (param $p i32) (param $end i32) (param $key i32) (param $n i32) (result i32)
    (local $i i32)
    (block $none (loop $next
      (br_if $none (i32.gt_u (i32.add (local.get $p) (local.get $n)) (local.get $end)))
      (local.set $i (i32.const 0))
      (block $differs (loop $same
        (if (i32.eq (local.get $i) (local.get $n))
          (then (return (i32.add (local.get $p) (local.get $n)))))
        (br_if $differs (i32.ne
          (i32.load8_u (i32.add (local.get $p) (local.get $i)))
          (i32.load8_u (i32.add (local.get $key) (local.get $i)))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $same)))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (br $next)))
    (i32.const 0))
  (func $read (param $p i32) (param $end i32) (result f64)
    (local $c i32) (local $v f64) (local $scale f64) (local $sign f64) (local $digits i32)
    (local.set $sign (f64.const 1))
    (loop $blank
      (if (i32.eq (i32.load8_u (local.get $p)) (i32.const 32))
        (then (local.set $p (i32.add (local.get $p) (i32.const 1))) (br $blank))))
    (if (i32.eq (i32.load8_u (local.get $p)) (i32.const 45))
      (then
        (local.set $sign (f64.const -1))
        (local.set $p (i32.add (local.get $p) (i32.const 1)))))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $p) (local.get $end)))
      (local.set $c (i32.load8_u (local.get $p)))
      (if (i32.and (i32.eq (local.get $c) (i32.const 46)) (f64.eq (local.get $scale) (f64.const 0)))
        (then (local.set $scale (f64.const 1)))
        (else
          (br_if $done (i32.or
            (i32.lt_u (local.get $c) (i32.const 48)) (i32.gt_u (local.get $c) (i32.const 57))))
          (local.set $digits (i32.const 1))
          (local.set $v (f64.add
            (f64.mul (local.get $v) (f64.const 10))
            (f64.convert_i32_u (i32.sub (local.get $c) (i32.const 48)))))
          (local.set $scale (f64.mul (local.get $scale) (f64.const 10)))))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (br $next)))
    (if (i32.or (i32.eqz (local.get $digits)) (i32.and
        (i32.ne (local.get $c) (i32.const 44)) (i32.ne (local.get $c) (i32.const 125))))
      (then (return (f64.const nan))))
    (if (f64.gt (local.get $scale) (f64.const 1))
      (then (local.set $v (f64.div (local.get $v) (local.get $scale)))))
    (f64.mul (local.get $v) (local.get $sign)))
  (func $input (param $p i32) (param $end i32) (param $key i32) (param $n i32) (param $default f64)
    (result f64) (local $at i32)
    (local.set $at
      (call $find (local.get $p) (local.get $end) (local.get $key) (local.get $n)))
    (if (result f64) (local.get $at)
      (then (call $read (local.get $at) (local.get $end)))
      (else (local.get $default))))
  (func $missing (param $p i32) (param $end i32) (param $key i32) (param $n i32) (param $warned i32)
    (result i32)
    (if (call $find (local.get $p) (local.get $end) (local.get $key) (local.get $n))
      (then (return (local.get $warned))))
    (if (local.get $warned)
      (then (call $byte (i32.const 44)))
      (else (call $put «WARN»)))
    (call $put «MISSING1»)
    (call $put
      (i32.add (local.get $key) (i32.const 1)) (i32.sub (local.get $n) (i32.const 3)))
    (call $put «MISSING2»)
    (i32.const 1))
  «FUNCTIONS»
  ;; one case
  (func (export "C") (param $h i32) (param $p i32) (param $len i32) (param $size i32) (result i32)
    (local $end i32) (local $start i32) (local $warned i32)
    «LOCALS»
    (local.set $end (i32.add (local.get $p) (local.get $len)))
    (local.set $start (call $malloc (i32.const 4096)))
    (global.set $out (local.get $start))
    «READS»
    «BEGIN»
    (call $put «HEAD»)
    «WRITES»
    (call $put «ENDOUT»)
    «WARNINGS»
    (if (local.get $warned) (then (call $byte (i32.const 93))))
    (call $put «TAIL»)
    (i32.store (local.get $size) (i32.sub (global.get $out) (local.get $start)))
    (local.get $start)))
