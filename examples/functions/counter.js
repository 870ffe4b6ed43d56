// Counts its calls in the key-value bucket that belongs to it, in the form of the Go Nex.
() => {
  const { kv } = this.hostServices;
  let count = 0;
  try {
    count = Number(new TextDecoder().decode(kv.get("count")));
  } catch {
    // The first call.
  }
  kv.set("count", new TextEncoder().encode(String(count + 1)));
  return { count: count + 1 };
};
