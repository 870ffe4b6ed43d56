/** The channel of blocking calls of an epoch. */
export interface CallLine {
  write(bytes: Buffer): void;
  /** Waits for bytes, and puts them at a place of the buffer. @throws NexError at the end of the channel. */
  readSome(to: Buffer, at: number): number;
  close(): void;
}
