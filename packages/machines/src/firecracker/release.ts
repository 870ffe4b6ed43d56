/** The release of Firecracker used in tests, and notes about other releases. */

/** Release used in tests: the newest one in package registries that includes both programs. */
const testedRelease = "1.12";
/** End of support. Firecracker supports a release for at most a year; 1.12 was published in May 2025. */
const testedSupportEnd = "May 2026";
/** Advice for the operator. */
export const newerReleaseAdvice =
  `Nex is tested with Firecracker ${testedRelease}, whose support has ended (${testedSupportEnd}): give a supported ` +
  "release with --firecracker-url and --firecracker-sha256";

/** Returns a note about a version. */
export function releaseNote(version: string): string {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [testedMajor = 0, testedMinor = 0] = testedRelease.split(".").map(Number);
  if (!Number.isInteger(major) || !Number.isInteger(minor)) return `tested with ${testedRelease}`;
  const isNewer = major > testedMajor || (major === testedMajor && minor > testedMinor);
  if (isNewer) return `tested with ${testedRelease}`;
  return `out of support since ${testedSupportEnd} or before; install a later release: nex preflight --install`;
}
