import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeRuntime, parseRuntimeVersion } from "./runtime-version.ts";

const told = (version: string, commit: string): string =>
  `runc version ${version}\ncommit: ${commit}\nspec: 1.0.2-dev\ngo: go1.19.8\n`;
const fixedChangelog =
  "runc (1.1.5+ds1-1+deb12u1) bookworm-security\n  * CVE-2024-21626: several container breakouts";

function verdictOf(version: string, commit: string, changelog?: string): string {
  const found = parseRuntimeVersion(told(version, commit)) ?? assert.fail("not read");
  const { unmetRequirement: unmet, note } = judgeRuntime(found, changelog);
  return unmet ? `refused: ${unmet.reason}` : (note ?? "fine");
}

test("judgeRuntime accepts recent versions, and refuses older upstream versions of runc", () => {
  for (const version of ["1.1.12", "1.1.15", "1.2.0-rc.1", "1.3.3", "2.0.0"])
    assert.equal(verdictOf(version, `v${version}-0-g0123abc`), "fine");
  for (const version of ["1.0.0-rc6", "1.0.3", "1.1.5", "1.1.11", "1.1.12-rc.1", "0.1.1"])
    assert.match(verdictOf(version, `v${version}-0-g0123abc`), /^refused: runc .* is older than 1\.1\.12: /);
  assert.match(verdictOf("1.1.5", "0123456789abcdef0123456789abcdef01234567"), /^refused/);
});

test("judgeRuntime accepts an old version if the distribution's changelog lists the fix", () => {
  const debian = ["1.1.5+ds1", "1.1.5+ds1-1+deb12u1"] as const;
  assert.match(
    verdictOf(...debian, fixedChangelog),
    /^runc 1\.1\.5\+ds1 is older .* fixed by its distribution$/,
  );
  assert.match(
    verdictOf(...debian, "runc (1.1.5+ds1-1) unstable"),
    /^refused: .* changelog does not list the fix/,
  );
  assert.match(verdictOf(...debian), /may have fixed CVE-2024-21626, but no changelog shows it$/);
  assert.match(verdictOf("1.1.7-0ubuntu1~22.04.2", "", fixedChangelog), /fixed by its distribution$/);
});

test("parseRuntimeVersion ignores other runtimes", () => {
  assert.equal(
    parseRuntimeVersion("crun version 1.8.1\ncommit: f8a096be060b22ccd3d5f3ebe44108517fbf6c30\n"),
    undefined,
  );
  assert.equal(parseRuntimeVersion("usage: something"), undefined);
});
