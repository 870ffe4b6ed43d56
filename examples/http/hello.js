// Greets by the name in the path, and says so in JSON.
module.exports = (_, payload, call) => {
  const { method, params } = call.trigger;
  call.replyHeaders.set("Content-Type", "application/json");
  if (method === "POST") {
    call.replyHeaders.set("Nex-Http-Status", "201");
    return { created: params.name, bytes: payload.length };
  }
  return { hello: params.name };
};
