/** What comes from outside in an error message: at most 80 characters, however deep and long it is. */

const maxLength = 80;

/** A value, as JSON; numbers that JSON has not, by their names. */
export function shown(value: unknown): string {
  return shortened(printed(value, maxLength));
}

/** A name. */
export function shortened(text: string): string {
  return text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
}

/** JSON as `JSON.stringify` gives it, which runs out of stack 10,000 brackets deep; ends early where it is longer than `room`. */
function printed(value: unknown, room: number): string {
  if (room < 0) return '';
  if (typeof value === 'string') return JSON.stringify(value.slice(0, room + 1));
  if (typeof value === 'bigint' || typeof value === 'number') return String(value);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'nothing';
  const isArray = Array.isArray(value);
  let text = isArray ? '[' : '{';
  for (const key of isArray ? value.keys() : Object.keys(value)) {
    if (text.length > room) return text;
    if (text.length > 1) text += ',';
    if (!isArray) text += `${JSON.stringify(key)}:`;
    text += printed(value[key as keyof typeof value], room - text.length);
  }
  return text + (isArray ? ']' : '}');
}
