// Asks another subject, tells a third one, and answers with both.
(_, payload) => {
  const reply = hostServices.messaging.request("greet", payload);
  hostServices.messaging.publish("greeted", reply);
  return reply;
};
