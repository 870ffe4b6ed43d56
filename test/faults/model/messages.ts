/** Messages to functions: each says once that it was handled, and its replies go to its own subject. */
import type { NatsConnection } from "@nats-io/nats-core";

/** Subject on which functions tell what they handle. */
const handledSubject = "model.handled";
const replyPrefix = "_INBOX.model.";

/** Source of a function that tells of each message, and answers with what it got. */
export const functionSource = `module.exports = (subject, payload) => {
  const text = new TextDecoder().decode(payload);
  hostServices.messaging.publish("${handledSubject}", text);
  return text;
};`;

export class Messages {
  readonly #connection: NatsConnection;
  readonly #handled = new Map<string, number>();
  readonly #replies = new Map<string, string[]>();
  #sent = 0;
  #answered = 0;

  /** @param connection It outlives the server's restarts, and does not go through the proxy. */
  constructor(connection: NatsConnection) {
    this.#connection = connection;
    connection.subscribe(handledSubject, {
      callback: (_, message) => {
        const text = message.string();
        this.#handled.set(text, (this.#handled.get(text) ?? 0) + 1);
      },
    });
    connection.subscribe(`${replyPrefix}*`, {
      callback: (_, message) => {
        const number = message.subject.slice(replyPrefix.length);
        const replies = this.#replies.get(number) ?? [];
        replies.push(message.string());
        this.#replies.set(number, replies);
        this.#answered++;
      },
    });
  }

  /** Numbers of messages: sent, and answered. */
  get counts(): { sent: number; answered: number } {
    return { sent: this.#sent, answered: this.#answered };
  }

  /** @returns the message's number */
  send(subject: string): string {
    const number = String(++this.#sent);
    this.#connection.publish(subject, number, { reply: replyPrefix + number });
    return number;
  }

  hasReply(number: string): boolean {
    return this.#replies.has(number);
  }

  /** Messages that were handled or answered twice, and replies to another message. */
  violations(): string[] {
    const wrong: string[] = [];
    for (const [number, times] of this.#handled)
      if (times > 1) wrong.push(`message ${number} was handled ${times} times`);
    for (const [number, replies] of this.#replies) {
      if (replies.length > 1) wrong.push(`message ${number} was answered ${replies.length} times`);
      // A reply is the JSON of the payload; anything else is an error of the node.
      for (const reply of replies)
        if (/^"\d+"$/.test(reply) && reply !== `"${number}"`)
          wrong.push(`message ${number} got the reply ${reply}`);
    }
    return wrong;
  }
}
