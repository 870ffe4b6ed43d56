/** How times are written, by the names that Go gives to its formats. Local time. */

const two = (value: number): string => String(value).padStart(2, "0");
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const month = (date: Date): string => months[date.getMonth()] ?? "";
const day = (date: Date): string =>
  `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
const minutes = (date: Date): string => `${two(date.getHours())}:${two(date.getMinutes())}`;
const clock = (date: Date): string => `${minutes(date)}:${two(date.getSeconds())}`;

/** A name and what it makes of a time. */
export const timeFormats = {
  DateOnly: day,
  DateTime: (date: Date) => `${day(date)} ${clock(date)}`,
  Stamp: (date: Date) => `${month(date)} ${String(date.getDate()).padStart(2)} ${clock(date)}`,
  RFC822: (date: Date) =>
    `${two(date.getDate())} ${month(date)} ${two(date.getFullYear() % 100)} ${minutes(date)} ${zone(date)}`,
  RFC3339: (date: Date) => `${day(date)}T${clock(date)}${offset(date)}`,
} as const;

export type TimeFormat = keyof typeof timeFormats;

/** Writes a time. */
export function formatTime(date: Date, format: TimeFormat = "DateTime"): string {
  return timeFormats[format](date);
}

function zone(date: Date): string {
  const parts = new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts(date);
  return parts.find(({ type }) => type === "timeZoneName")?.value ?? "UTC";
}

function offset(date: Date): string {
  const eastMinutes = -date.getTimezoneOffset();
  if (eastMinutes === 0) return "Z";
  const size = Math.abs(eastMinutes);
  return `${eastMinutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}
