import assert from "node:assert/strict";
import { test } from "node:test";
import {
  assertDeployNamespace,
  assertNamespace,
  isNamespace,
  isWorkloadName,
  namespaceBytesMax,
  printable,
  workloadNameBytesMax,
  workloadNameOfFile,
} from "./names.ts";

test("isWorkloadName accepts letters, digits, - and _ up to the maximum size", () => {
  for (const name of ["a", "echo-1_B", "0", "-", "x".repeat(workloadNameBytesMax)])
    assert.ok(isWorkloadName(name), name);
});

test("isWorkloadName refuses everything else", () => {
  const bad = ["", "bad.name", "a b", "ä", "a/b", "a\n", "a*", "x".repeat(workloadNameBytesMax + 1)];
  for (const name of bad) assert.ok(!isWorkloadName(name), JSON.stringify(name));
});

test("isNamespace accepts one token of 1 to 64 bytes", () => {
  for (const name of ["default", "ü", "a/b", "..".replaceAll(".", "-"), "x".repeat(namespaceBytesMax)]) {
    assert.ok(isNamespace(name), name);
  }
});

test("isNamespace refuses wildcards, dots, white space, control characters and too many bytes", () => {
  const bad = [
    "",
    "a.b",
    "*",
    "a*",
    ">",
    "a b",
    "a\tb",
    "a\n",
    "a\0",
    "\u0085",
    "a\u00a0b",
    "ü".repeat(33),
    "x".repeat(65),
  ];
  for (const name of bad) assert.ok(!isNamespace(name), JSON.stringify(name));
});

test("assertNamespace quotes the name without its control characters, and states the rule", () => {
  assert.doesNotThrow(() => assertNamespace("system"));
  assert.throws(() => assertNamespace("a\nb"), {
    code: "namespace_invalid",
    message:
      'Cannot use "a\ufffdb" as a namespace: it must be 1 to 64 bytes without white space, ".", "*" or ">"',
  });
});

test("assertDeployNamespace refuses the reserved namespace in upper and lower case", () => {
  assert.doesNotThrow(() => assertDeployNamespace("default"));
  for (const name of ["system", "System", "SYSTEM", "a.b"]) {
    assert.throws(() => assertDeployNamespace(name), { code: "namespace_invalid" }, name);
  }
});

test("workloadNameOfFile derives a valid name from any file name", () => {
  const cases: [string, string][] = [
    ["echo", "echo"],
    ["./dist/echo.js", "echo"],
    ["C:\\work\\echo.exe", "echo"],
    ["my service (2).tar.gz", "my-service-2-tar"],
    ["Größe.js", "Gro-e"],
    [".profile", "profile"],
    ["dir/echo/", "echo"],
    ["☃.js", "workload"],
    ["", "workload"],
    ["...", "workload"],
    [`${"x".repeat(200)}.js`, "x".repeat(workloadNameBytesMax)],
  ];
  for (const [path, name] of cases) assert.equal(workloadNameOfFile(path), name, path);
});

test("workloadNameOfFile returns only valid workload names", () => {
  for (const path of ["a\nb", "--x--", "ﬁle.js", "日本語", "e\u0301.js"]) {
    assert.ok(isWorkloadName(workloadNameOfFile(path)), path);
  }
});

test("printable replaces control characters and truncates long text", () => {
  assert.equal(printable("a\u001b[31mb\u2028c"), "a\ufffd[31mb\ufffdc");
  assert.equal(printable("x".repeat(80)), "x".repeat(80));
  assert.equal(printable("x".repeat(81)), `${"x".repeat(80)}…`);
  assert.equal(printable("abc", 2), "ab…");
});
