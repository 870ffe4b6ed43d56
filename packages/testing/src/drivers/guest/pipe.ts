/** Node's internal handle for pollable descriptors. Node's public API creates streams only from sockets and pipes. */
import { Socket } from "node:net";

export interface PipeHandle {
  readonly fd: number;
  open(fd: number): number;
  listen(backlog: number): number;
  setBlocking(blocking: boolean): number;
  close(): void;
  onconnection?: (status: number, handle: PipeHandle | undefined) => void;
}

interface PipeBinding {
  Pipe: new (kind: number) => PipeHandle;
  constants: { SOCKET: number; SERVER: number };
}

export function pipeOf(kind: "SOCKET" | "SERVER", fd: number): PipeHandle {
  const { Pipe, constants } = (process as unknown as { binding(name: "pipe_wrap"): PipeBinding }).binding(
    "pipe_wrap",
  );
  const handle = new Pipe(constants[kind]);
  handle.open(fd);
  return handle;
}

export function streamOf(handle: PipeHandle): Socket {
  const socket = new Socket({ handle, allowHalfOpen: false } as object);
  return socket.on("error", () => undefined);
}
