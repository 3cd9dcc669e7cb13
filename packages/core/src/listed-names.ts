/** Names of weights in an error message. */

/** So many names of a kind are listed; a wholly different network would fill a screen. */
const namesListed = 8;

/** `a, b, c`, and how many more there are. */
export function listedNames(names: readonly string[]): string {
  const more = names.length > namesListed ? `, and ${names.length - namesListed} more` : '';
  return `${names.slice(0, namesListed).join(', ')}${more}`;
}
