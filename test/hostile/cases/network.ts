/** Ways over the network: to the host, to clouds, to other machines, past the filters. */

import type { Place } from "../support/place.ts";
import type { Check, ServiceCase } from "./case.ts";
import { allFail, held, ownKernel } from "./checks.ts";

function way(
  name: string,
  technique: string,
  outcome: string,
  argv: (place: Place) => string[],
  check: Check,
): ServiceCase {
  return { kind: "service", name, technique, outcome, onProcess: "not isolated", argv, check };
}

const unreachable = "No way there (ENETUNREACH)";

export const networkCases: readonly ServiceCase[] = [
  way(
    "raw sockets",
    "Raw IPv4 and IPv6, and packets of the link",
    "Refused (EPERM)",
    () => ["raw-sockets"],
    allFail("EPERM"),
  ),
  {
    ...way(
      "other transports",
      "Sockets for ping, UDP-Lite, SCTP, DCCP, MPTCP and L2TP, also by their type, and a pair for TIPC",
      "Refused (EPERM)",
      () => ["protocols"],
      allFail("EPERM"),
    ),
    inMicroVm: ownKernel,
  },
  {
    ...way(
      "other socket families",
      "vsock, kernel crypto, netfilter, audit, uevents, Bluetooth, key management, XDP, TIPC",
      "Refused (EPERM)",
      () => ["socket-families"],
      allFail("EPERM"),
    ),
    inMicroVm: ownKernel,
  },
  {
    ...way(
      "vsock",
      "Connects to ports of the host, of the hypervisor and of its own agent by vsock",
      "Refused (EPERM)",
      () => ["vsock"],
      allFail("EPERM"),
    ),
    inMicroVm: {
      outcome: "Nobody listens there (ECONNRESET, ENODEV, ETIMEDOUT)",
      check: held(/^held /),
    },
  },
  {
    ...way(
      "abstract sockets",
      "Connects to an abstract Unix socket of the host",
      "Not there (ECONNREFUSED)",
      ({ abstractName }) => ["abstract-socket", abstractName],
      allFail("ECONNREFUSED"),
    ),
    triedOnProcess: true,
  },
  {
    ...way(
      "the host's loopback",
      "Connects to a program of the host on 127.0.0.1",
      "Not there (ECONNREFUSED)",
      ({ port }) => ["addresses", "127.0.0.1", String(port)],
      allFail("ECONNREFUSED"),
    ),
    triedOnProcess: true,
  },
  {
    ...way(
      "the host's addresses",
      "Connects to a program of the host on its outer addresses",
      unreachable,
      ({ addresses, port }) => [
        "addresses",
        ...["192.0.2.1", ...addresses].flatMap((address) => [address, String(port)]),
      ],
      allFail("ENETUNREACH"),
    ),
  },
  way(
    "the metadata address",
    "Connects to 169.254.169.254",
    unreachable,
    () => ["addresses", "169.254.169.254", "80"],
    allFail("ENETUNREACH"),
  ),
  way(
    "the internet",
    "Connects to public and private addresses",
    unreachable,
    () => ["addresses", "1.1.1.1", "53", "10.0.0.1", "80", "172.17.0.1", "2375", "192.168.0.1", "80"],
    allFail("ENETUNREACH"),
  ),
];
