import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeRuntime, parseRuntimeVersion } from "./runtime-version.ts";

const told = (version: string, commit: string): string =>
  `runc version ${version}\ncommit: ${commit}\nspec: 1.0.2-dev\ngo: go1.19.8\n`;
const mended =
  "runc (1.1.5+ds1-1+deb12u1) bookworm-security\n  * CVE-2024-21626: several container breakouts";

function verdictOf(version: string, commit: string, changelog?: string): string {
  const found = parseRuntimeVersion(told(version, commit)) ?? assert.fail("not read");
  const { unmetRequirement: unmet, note } = judgeRuntime(found, changelog);
  return unmet ? `refused: ${unmet.reason}` : (note ?? "fine");
}

test("judgeRuntime takes versions that are new enough, and refuses older ones of runc's own", () => {
  for (const version of ["1.1.12", "1.1.15", "1.2.0-rc.1", "1.3.3", "2.0.0"])
    assert.equal(verdictOf(version, `v${version}-0-g0123abc`), "fine");
  for (const version of ["1.0.0-rc6", "1.0.3", "1.1.5", "1.1.11", "1.1.12-rc.1", "0.1.1"])
    assert.match(verdictOf(version, `v${version}-0-g0123abc`), /^refused: runc .* is older than 1\.1\.12: /);
  assert.match(verdictOf("1.1.5", "0123456789abcdef0123456789abcdef01234567"), /^refused/);
});

test("judgeRuntime believes the changelog of a distribution that mends an old version", () => {
  const debian = ["1.1.5+ds1", "1.1.5+ds1-1+deb12u1"] as const;
  assert.match(verdictOf(...debian, mended), /^runc 1\.1\.5\+ds1 is older .* mended by its distribution$/);
  assert.match(
    verdictOf(...debian, "runc (1.1.5+ds1-1) unstable"),
    /^refused: .* changelog does not name a mend/,
  );
  assert.match(verdictOf(...debian), /may have mended CVE-2024-21626, which can't be seen here$/);
  assert.match(verdictOf("1.1.7-0ubuntu1~22.04.2", "", mended), /mended by its distribution$/);
});

test("parseRuntimeVersion leaves other runtimes alone", () => {
  assert.equal(
    parseRuntimeVersion("crun version 1.8.1\ncommit: f8a096be060b22ccd3d5f3ebe44108517fbf6c30\n"),
    undefined,
  );
  assert.equal(parseRuntimeVersion("usage: something"), undefined);
});
