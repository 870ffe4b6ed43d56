// Keeps what it is sent as an object under the last part of its subject, and lists what it has.
module.exports = (subject, payload) => {
  const name = subject.split(".").at(-1);
  if (payload.length > 0) hostServices.objectStore.put(name, payload);
  return hostServices.objectStore.list().map(({ name, size }) => ({ name, size }));
};
