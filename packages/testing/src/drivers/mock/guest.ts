import { type Duplex, duplexPair } from "node:stream";
import type { Channels, MachineExit } from "@nexengine/machines/internal";
import { ConsoleTail, MachineError } from "@nexengine/machines/internal";

/** The guest side of a mock machine: the other ends of its channels, and its exit, controlled by a test. */
export class MockGuest {
  /** Resolves at the first attach. */
  readonly attached: Promise<void>;
  /** Epoch of the last attach; 0 before the first. */
  epoch = 0;
  readonly #firstAttach = Promise.withResolvers<void>();
  readonly #exit = Promise.withResolvers<MachineExit>();
  readonly #console = new ConsoleTail();
  #inner: Channels | undefined;
  #outer: Channels | undefined;
  #ended = false;

  constructor() {
    this.attached = this.#firstAttach.promise;
  }

  /** The guest's end of the frame channel of the current epoch. */
  get frames(): Duplex {
    return this.#channels().frames;
  }

  /** The guest's end of the call channel of the current epoch. */
  get calls(): Duplex {
    return this.#channels().calls;
  }

  /** Whether the machine has exited. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Resolves when the machine has exited. */
  get exited(): Promise<MachineExit> {
    return this.#exit.promise;
  }

  /** Writes to the machine's console. */
  print(text: string): void {
    this.#console.add(Buffer.from(text));
  }

  /** Exits the machine with an exit status, as its program would. */
  exit(code = 0): void {
    this.end({ reason: "exited", code });
  }

  /** Exits the machine as a crash or a kill would. */
  kill(): void {
    this.end({ reason: "killed" });
  }

  /** Exits the machine in the given way. A second call changes nothing. Data sent before can still be read. */
  end(exit: Partial<MachineExit>): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const channel of channelsOf(this.#inner)) channel.end();
    this.#exit.resolve({ reason: "unknown", console: this.#console.text(), ...exit });
  }

  /** Opens the channels of an epoch and closes the previous ones. @returns the node's ends. */
  open(epoch: number): Channels {
    this.close();
    const [frames, innerFrames] = duplexPair({ allowHalfOpen: false });
    const [calls, innerCalls] = duplexPair({ allowHalfOpen: false });
    for (const channel of [frames, innerFrames, calls, innerCalls]) channel.on("error", () => undefined);
    this.#inner = { frames: innerFrames, calls: innerCalls };
    this.#outer = { frames, calls };
    this.epoch = epoch;
    this.#firstAttach.resolve();
    return this.#outer;
  }

  /** Closes all channels immediately. */
  close(): void {
    for (const channel of [...channelsOf(this.#outer), ...channelsOf(this.#inner)]) channel.destroy();
  }

  #channels(): Channels {
    if (this.#inner) return this.#inner;
    throw new MachineError("wrong_state", "Cannot use the channels of a mock guest: nobody has attached yet");
  }
}

function channelsOf(channels: Channels | undefined): Duplex[] {
  return channels ? [channels.frames, channels.calls] : [];
}
