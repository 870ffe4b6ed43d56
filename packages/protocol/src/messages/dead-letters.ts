/** Dead letters: messages that no call of a function has settled, with the facts of their end in headers. */

/** Headers of a dead letter. Others are those of the message. */
export const deadHeaders = {
  /** All of them begin so. */
  prefix: "Nex-Dead-",
  /** Subject of the message. */
  subject: "Nex-Dead-Subject",
  /** Subject on which its last delivery was settled. */
  delivery: "Nex-Dead-Delivery",
  stream: "Nex-Dead-Stream",
  /** Sequence number of the message in its stream. */
  sequence: "Nex-Dead-Sequence",
  /** Number of its deliveries. */
  count: "Nex-Dead-Deliveries",
  /** Time at which its stream took it, in ISO 8601. */
  time: "Nex-Dead-Time",
  workload: "Nex-Dead-Workload",
  workloadId: "Nex-Dead-Workload-Id",
  trigger: "Nex-Dead-Trigger",
  reason: "Nex-Dead-Reason",
} as const;
