// Tells how many ticks of its schedule it got, and whether each was planned for a whole second.
const planned = [];

export default (_subject, _payload, call) => {
  if (call.trigger.type === "cron") planned.push(call.trigger.plannedMs);
  else return { ticks: planned.length > 1, whole: planned.every((ms) => ms % 1_000 === 0) };
};
