import { type Duplex, duplexPair } from "node:stream";
import type { Channels, MachineExit } from "../driver.ts";
import { MachineError } from "../errors.ts";
import { ConsoleTail } from "../host/console-tail.ts";

/** The inside of a mock machine: the other ends of its channels, and its fate, in the hands of a test. */
export class MockGuest {
  /** Settles at the first attach. */
  readonly attached: Promise<void>;
  /** The epoch of the last attach, 0 before it. */
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

  /** The guest's end of the frames of the present epoch. */
  get frames(): Duplex {
    return this.#channels().frames;
  }

  /** The guest's end of the calls of the present epoch. */
  get calls(): Duplex {
    return this.#channels().calls;
  }

  /** Has the machine ended? */
  get ended(): boolean {
    return this.#ended;
  }

  /** Settles when the machine has ended. */
  get exited(): Promise<MachineExit> {
    return this.#exit.promise;
  }

  /** Writes to the machine's console. */
  print(text: string): void {
    this.#console.add(Buffer.from(text));
  }

  /** Ends the machine with an exit status, as its program would. */
  exit(code = 0): void {
    this.end({ reason: "exited", code });
  }

  /** Ends the machine as a crash or a kill would. */
  kill(): void {
    this.end({ reason: "killed" });
  }

  /** Ends the machine in a given way; a second end changes nothing. What was sent before can still be read. */
  end(exit: Partial<MachineExit>): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const channel of channelsOf(this.#inner)) channel.end();
    this.#exit.resolve({ reason: "unknown", console: this.#console.text(), ...exit });
  }

  /** Opens the channels of an epoch and ends those of the former; hands out the node's ends. */
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

  /** Ends all channels at once. */
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
