/**
 * The control protocol, row by row, asked of a node: one that is started here, or with `NEX_CONFORMANCE_URL` any other
 * (see target.ts). Prints a table in the end.
 */
import { checklistRows, workloadRows } from "./checklist.ts";
import { configurationRows } from "./configured.ts";
import { deployRows, lameDuckRows, stopRows } from "./deploys.ts";
import { auctionRows, infoRows, pingRows, workloadPingRows } from "./discovery.ts";
import { environmentRows, locationRows, objectStoreRows, tokenRows } from "./encodings.ts";
import { envelopeRows } from "./envelopes.ts";
import { eventRows, logRows } from "./feeds.ts";
import { identifierRows } from "./identifiers.ts";
import { processRows } from "./processes.ts";
import { ConformanceSuite } from "./suite.ts";

const suite = new ConformanceSuite();
for (const add of [
  identifierRows,
  envelopeRows,
  pingRows,
  auctionRows,
  workloadPingRows,
  infoRows,
  deployRows,
  stopRows,
  tokenRows,
  environmentRows,
  locationRows,
  objectStoreRows,
  eventRows,
  logRows,
  workloadRows,
  configurationRows,
  processRows,
  checklistRows,
  // The effect of these rows can't be undone.
  lameDuckRows,
]) {
  add(suite.row);
}

const { unasked } = suite;
const inMemory = "no request fails so here: workloads are in memory";
unasked("1.2", "a PING fails with: Failed to query running machines on node", inMemory);
unasked("1.5", "an INFO that can't list machines fails as ping_response", inMemory);
unasked(
  "1.6",
  "11: without a warm agent a deploy is refused at once",
  "ours waits for one; see pool.test.ts",
);
unasked(
  "1.6",
  "15: a deploy to an agent that never shook hands is refused",
  "no machine without a hello is given out; see pool.test.ts",
);
unasked(
  "1.6",
  "STOP 5: a stop that fails says so",
  "ours forces the end, and tells in its log what it can't remove",
);
unasked(
  "1.6",
  "trigger_connection and host_services bring connections along",
  "have tests of their own: connections.test.ts",
);
unasked(
  "1.6",
  "retry_count and retried_at are set by the node itself",
  "ours restarts without a request; see trust.test.ts",
);
unasked("1.6", "a DEPLOY is answered within 750 ms", "no test depends on speed; npm run bench measures it");
unasked("1.8", "agent_started and agent_stopped", "Go Nex knows them and sends none");
unasked("1.11", "host services", "have tests of their own: host-services.test.ts");
unasked("1.11", "OpenTelemetry", "comes with telemetry; the keys are read, and named in the log");
unasked("1.11", "preflight", "has tests of its own: cli-preflight.test.ts");
unasked("1.11", "the internal agent protocol", "ours is another: frames over a channel of the machine");
