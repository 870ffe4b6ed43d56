/** Text and binary formats that messages, tokens and artifacts are made of. */
export { canonicalJson, parseStrictJson } from "./canonical-json.ts";
export { checkStaticElf, looksLikeElf, readBytes } from "./elf.ts";
export { checkJson, jsonDepthMax, jsonValuesMax, parseJson, requestBytesMax } from "./go-json.ts";
export { type GoUrl, goUrlOf, locationPartBytesMax, objectLocation, parseObjectLocation } from "./go-url.ts";
export {
  parseRoute,
  type RequestPath,
  type Route,
  type RouteOfMethods,
  routesCollide,
  splitPath,
} from "./route.ts";
export { type RouteMatch, type RouteParam, RouteTable } from "./route-table.ts";
export { parseSchedule, type Schedule } from "./schedule.ts";
export { formatRunTime, formatUptime } from "./uptime.ts";
export { createXidMaker, xidPattern } from "./xid.ts";
