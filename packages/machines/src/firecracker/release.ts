/** Which release of Firecracker the tests run, and what a person should know of another one. */

/** The release that the tests run: the newest that the registries of packages have with both programs. */
export const testedRelease = "1.12";
/** Its project supports a release for a year at most; this one came out in May 2025. */
const testedSupportEnd = "May 2026";
/** What a person does about it. */
export const newerReleaseAdvice =
  `Nex is tested with Firecracker ${testedRelease}, whose support has ended (${testedSupportEnd}): give a supported ` +
  "release with --firecracker-url and --firecracker-sha256";

/** What to say of a version; nothing when it is newer than what is known to be out of support. */
export function releaseNote(version: string): string {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [testedMajor = 0, testedMinor = 0] = testedRelease.split(".").map(Number);
  if (!Number.isInteger(major) || !Number.isInteger(minor)) return `tested with ${testedRelease}`;
  const isNewer = major > testedMajor || (major === testedMajor && minor > testedMinor);
  if (isNewer) return `tested with ${testedRelease}`;
  return `out of support since ${testedSupportEnd} or before; install a later release: nex preflight --install`;
}
