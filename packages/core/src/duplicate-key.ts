/**
 * Finds a key that an object of a JSON text has twice. `JSON.parse` keeps the last one silently, which lets one file mean two
 * things to two readers. Not a parser: the text must be known to be valid JSON.
 */

/** The first key given twice in one object, or undefined. */
export function duplicateKey(json: string): string | undefined {
  // One entry for each open bracket: the keys so far of an object, null of an array.
  const open: (Set<string> | null)[] = [];
  let keyComesNext = false;
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (char === '{') {
      open.push(new Set());
      keyComesNext = true;
    } else if (char === '[') {
      open.push(null);
      keyComesNext = false;
    } else if (char === '}' || char === ']') {
      open.pop();
      keyComesNext = false;
    } else if (char === ',') {
      keyComesNext = open.at(-1) instanceof Set;
    } else if (char === '"') {
      const start = i;
      for (i++; json[i] !== '"'; i++) if (json[i] === '\\') i++;
      if (!keyComesNext) continue;
      keyComesNext = false;
      const key = JSON.parse(json.slice(start, i + 1)) as string;
      const keys = open.at(-1) as Set<string>;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}
