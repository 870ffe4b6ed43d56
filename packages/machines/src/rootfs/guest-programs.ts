/** Programs of a microVM's guest that consist of system calls only. */
import { callProgram } from "./call-program.ts";

/** vsock ports on which the agent of a microVM listens. */
export const guestPorts = { frames: 5_000, calls: 5_001 } as const;

const number = {
  ...{ read: 0, write: 1, ioctl: 16, rename: 82, setClock: 227 },
  ...{ socket: 41, bind: 49, listen: 50 },
} as const;
const vsockFamily = 40;
const streamType = 1;
const anyCid = 0xffff_ffff;
const backlog = 8;
/** ioctl of random(4) that applies written entropy immediately. */
const reseedRequest = 0x5207;
const realTime = 0;
const seedBytes = 32;
const timeBytes = 16;
/** File to which the shell wrote a copy's token, and the path at which its agent looks for it. */
export const newTokenPath = "/image/nex/.token";
const tokenPath = "/image/nex/token";
/** Descriptor on which the shell opened `/dev/urandom`. */
const urandomFd = 3;

/**
 * Opens both listening sockets of an agent as descriptors 3 and 4, which must be free, and executes the program in
 * its arguments.
 */
export function listenProgram(): Buffer {
  const sockets = [guestPorts.frames, guestPorts.calls].flatMap((port, index) => {
    const fd = 3 + index;
    const address = vsockAddress(port);
    return [
      { number: number.socket, args: [vsockFamily, streamType, 0] },
      { number: number.bind, args: [fd, address, address.length] },
      { number: number.listen, args: [fd, backlog, 0] },
    ];
  });
  return callProgram(sockets, "execute");
}

/**
 * Makes a copy an independent machine. Reads 32 random bytes and the time (seconds and nanoseconds, 64 bits each)
 * from its input, seeds the kernel's random number generator, sets the clock, and publishes the token last. One
 * program does all of it, because each process start takes a noticeable share of the time of a copy.
 */
export function reseedProgram(): Buffer {
  const spare = (spareOffset: number) => ({ spareOffset });
  return callProgram(
    [
      { number: number.read, args: [0, spare(0), seedBytes + timeBytes] },
      { number: number.write, args: [urandomFd, spare(0), seedBytes] },
      { number: number.ioctl, args: [urandomFd, reseedRequest, 0] },
      { number: number.setClock, args: [realTime, spare(seedBytes), 0] },
      { number: number.rename, args: [Buffer.from(`${newTokenPath}\0`), Buffer.from(`${tokenPath}\0`)] },
    ],
    "exit",
  );
}

/** `struct sockaddr_vm` of vsock(7). */
function vsockAddress(port: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(vsockFamily, 0);
  bytes.writeUInt32LE(port, 4);
  bytes.writeUInt32LE(anyCid, 8);
  return bytes;
}
