import { callProgram } from "./call-program.ts";

/** Where the agent of a microVM with vsock listens. */
export const guestPorts = { frames: 5_000, calls: 5_001 } as const;

const number = {
  ...{ read: 0, write: 1, ioctl: 16, rename: 82, setClock: 227 },
  ...{ socket: 41, bind: 49, listen: 50 },
} as const;
const vsockFamily = 40;
const streamType = 1;
const anyCid = 0xffff_ffff;
const backlog = 8;
/** Of random(4): puts what was written to it to use at once. */
const reseedRequest = 0x5207;
const realTime = 0;
const seedBytes = 32;
const timeBytes = 16;
/** Where the shell has put the token of a copy, and where its agent looks for it. */
export const newTokenPath = "/image/nex/.token";
const tokenPath = "/image/nex/token";
/** Where the shell has opened `/dev/urandom` for it. */
const urandomFd = 3;

/**
 * Opens both listening sockets of an agent as the descriptors 3 and 4, which have to be free, and becomes the program
 * that its arguments name.
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
 * Makes a copy of a machine one of its own: reads 32 random bytes and the time (seconds and nanoseconds, 64 bits each)
 * from its input, seeds the kernel's randomness, sets its clock, and lets the agent see the copy's token at last. All in
 * one program, since each that a shell starts takes a good part of the time that a copy needs.
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
