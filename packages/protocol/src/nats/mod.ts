/** Logins, connections, users and permissions of NATS. */
export {
  isContextName,
  loginOfContext,
  type NatsContext,
  natsContextSchema,
  parseNatsContext,
  type ReadNamedFile,
  refusedMember,
  splitUrls,
  tlsOfContext,
} from "./context.ts";
export { dialNats } from "./dial.ts";
export {
  connectionFailure,
  connectionOptions,
  defaultServer,
  loginInUrl,
  type NatsLogin,
  withoutSecrets,
} from "./login.ts";
export { type NatsRole, natsPermissions, natsRoles } from "./permissions.ts";
export { parseServer, type ServerAddress } from "./server-address.ts";
export type { NatsTls } from "./tls.ts";
export {
  formatCredentials,
  type NatsPermissions,
  parseCredentials,
  signNatsUser,
} from "./user.ts";
