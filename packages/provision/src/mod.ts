/** Finds, fetches, verifies and unpacks the programs that Nex runs on, and starts nats-server. */
export { defaultCacheDirectory } from "./cache.ts";
export { type FirecrackerPrograms, findFirecracker } from "./find-firecracker.ts";
export {
  type DownloadSource,
  firecrackerUrlDefault,
  type InstalledFirecracker,
  installFirecracker,
  installPackage,
} from "./install.ts";
export { type FetchNatsServerOptions, fetchNatsServer } from "./nats-server/fetch.ts";
export {
  type FindNatsServerOptions,
  findNatsServer,
  type NatsServerBinary,
  type NatsServerOrigin,
  natsServerVersionMin,
} from "./nats-server/find.ts";
export {
  type NatsServer,
  type NatsServerExit,
  type StartNatsServerOptions,
  startNatsServer,
} from "./nats-server/start.ts";
