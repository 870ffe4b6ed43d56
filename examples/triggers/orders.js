// Adds up the orders of a stream, each one once, although a message may come more than once.
const { kv } = hostServices.promises;

export default async (_subject, payload, call) => {
  const { count, sum, last } = await read();
  if (call.trigger.type === "subject") return { count, sum };
  const order = JSON.parse(new TextDecoder().decode(payload));
  // No attempt makes such an order valid.
  if (!(order.amount > 0)) throw Object.assign(new Error("The amount is not positive"), { retry: false });
  const { sequence } = call.trigger;
  if (sequence <= last) return;
  await kv.set("orders", JSON.stringify({ count: count + 1, sum: sum + order.amount, last: sequence }));
};

async function read() {
  try {
    return JSON.parse(new TextDecoder().decode(await kv.get("orders")));
  } catch (error) {
    if (error.code !== 404) throw error;
    return { count: 0, sum: 0, last: 0 };
  }
}
