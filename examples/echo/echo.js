// Answers with what it was sent. The value of the script is the function: (subject, payload) => reply.
(subject, payload) => {
  console.log(`${payload.length} bytes on ${subject}`);
  return payload;
};
