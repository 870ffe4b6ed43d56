// Notes each object that is put into a store, or deleted there.
const notes = [];

export default (_subject, _payload, call) => {
  const { type, operation, object } = call.trigger;
  if (type === "subject") return notes;
  notes.push(operation === "put" ? `${object.name}: ${object.size} bytes` : `${object.name} is deleted`);
};
