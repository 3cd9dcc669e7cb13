/** `--classes`: how many of a data set's classes, or which. */
import type { ClassSelection } from '@coda-nets/train';
import { nameList, usageError } from './define-command.ts';

/** `100`: the first hundred; `cat,dog` or `3,5`: these, by name, id or number; `7,`: one. */
export function classSelection(text: string): ClassSelection {
  if (/^\d+$/.test(text)) return Number(text);
  const names = nameList(text);
  if (names.length > 0) return names;
  throw usageError('--classes', 'no class is named', 'a number of classes, or names, ids or numbers between commas');
}
