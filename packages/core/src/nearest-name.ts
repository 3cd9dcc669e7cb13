/** What somebody who misspelt a name most likely meant. */
import leven from 'leven';

/** A shorter name is the beginning of too much. */
const SHORTEST_BEGINNING = 3;

/**
 * The candidate nearest to `name` in edits, if it is near enough to be what was meant: a third of the longer name, at least two. Else the
 * shortest candidate that begins with `name`.
 */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Infinity;
  let longer: string | undefined;
  for (const candidate of candidates) {
    const allowed = Math.max(2, Math.floor(Math.max(name.length, candidate.length) / 3));
    const distance = leven(name.toLowerCase(), candidate.toLowerCase());
    // A name of which nothing is left was not misspelt.
    if (distance <= allowed && distance < Math.max(name.length, candidate.length) && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
    const isLonger = name.length >= SHORTEST_BEGINNING && candidate.toLowerCase().startsWith(name.toLowerCase());
    if (isLonger && candidate.length < (longer?.length ?? Infinity)) longer = candidate;
  }
  return best ?? longer;
}
