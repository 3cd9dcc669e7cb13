/**
 * Finds what `JSON.parse` passes over in silence: a key given twice (it keeps the last, which lets one file mean two things to two readers), a number
 * that is no plain integer (1e3 and 1.0 are none to stricter parsers), nesting without end. Not a parser: what is no JSON may go unnoticed here.
 */

export interface JsonRules {
  readonly maxDepth: number;
  /** Every number must be an unsigned integer written with digits alone. Default false. */
  readonly integersOnly?: boolean;
  /** Keys of all objects together, and elements of all arrays. Default: no limit. */
  readonly maxKeys?: number;
  readonly maxElements?: number;
}

/** Such as `the key "a" twice`: the end of a sentence that begins with "has". Undefined where there is none. */
export function jsonOddity(
  json: string,
  { maxDepth, integersOnly = false, maxKeys = Number.POSITIVE_INFINITY, maxElements = Number.POSITIVE_INFINITY }: JsonRules,
): string | undefined {
  // One entry for each open bracket: the keys so far of an object, null of an array.
  const open: (Set<string> | null)[] = [];
  const number = /-?\d[\d.eE+-]*/y;
  let keyComesNext = false;
  let keyCount = 0;
  let elementCount = 0;
  for (let i = 0; i < json.length; i++) {
    const char = json[i] as string;
    if (char === '{' || char === '[') {
      open.push(char === '{' ? new Set() : null);
      if (open.length > maxDepth) return `brackets nested deeper than ${maxDepth}`;
      keyComesNext = char === '{';
    } else if (char === '}' || char === ']') {
      open.pop();
      keyComesNext = false;
    } else if (char === ',') {
      keyComesNext = open.at(-1) instanceof Set;
      if (!keyComesNext && ++elementCount > maxElements) return `more than ${maxElements} numbers in lists`;
    } else if (char === '"') {
      const start = i;
      for (i++; i < json.length && json[i] !== '"'; i++) if (json[i] === '\\') i++;
      if (!keyComesNext) continue;
      keyComesNext = false;
      if (++keyCount > maxKeys) return `more than ${maxKeys} names`;
      const key = unquoted(json.slice(start, i + 1));
      const keys = open.at(-1);
      if (keys?.has(key) === true) return `the key ${JSON.stringify(key)} twice`;
      keys?.add(key);
    } else if (char === '-' || (char >= '0' && char <= '9')) {
      number.lastIndex = i;
      const text = number.exec(json)?.[0] ?? char;
      if (integersOnly && !/^\d+$/.test(text)) return `the number ${text.slice(0, 40)}, which is not written as an integer from 0`;
      i += text.length - 1;
    }
  }
  return undefined;
}

/** What is no JSON string is taken as it is: the parser will refuse it. */
function unquoted(text: string): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    return text;
  }
}
