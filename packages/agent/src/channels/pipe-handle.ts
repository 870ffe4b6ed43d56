/** Node's own handle for what the kernel lets be waited for, of whatever kind it is; its public functions take some only. */
import { Socket } from "node:net";

export interface PipeHandle {
  readonly fd: number;
  open(fd: number): number;
  listen(backlog: number): number;
  setBlocking(blocking: boolean): number;
  close(): void;
  /** The listening handle passes each connection to this function. */
  onconnection?: (status: number, handle: PipeHandle | undefined) => void;
}

interface PipeBinding {
  Pipe: new (kind: number) => PipeHandle;
  constants: { SOCKET: number; SERVER: number };
}

/** A handle over an open descriptor. */
export function newPipe(kind: "SOCKET" | "SERVER", fd: number): PipeHandle {
  const { Pipe, constants } = (process as unknown as { binding(name: "pipe_wrap"): PipeBinding }).binding(
    "pipe_wrap",
  );
  const handle = new Pipe(constants[kind]);
  handle.open(fd);
  return handle;
}

/** The stream over a handle. Its errors end it, and are heard of by nobody else. */
export function socketOf(handle: PipeHandle): Socket {
  const socket = new Socket({ handle, allowHalfOpen: false } as object);
  socket.on("error", () => undefined);
  return socket;
}
