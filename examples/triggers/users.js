// Keeps a list of the users of a bucket, and forgets those that are deleted.
const users = {};

export default (_subject, payload, call) => {
  const { type, key, operation } = call.trigger;
  if (type === "subject") return users;
  if (operation === "put") users[key] = new TextDecoder().decode(payload);
  else delete users[key];
};
