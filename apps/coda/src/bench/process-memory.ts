/** Memory of this process, in bytes. */
import { readFileSync } from 'node:fs';

/** The most it ever had resident. On Linux rusage keeps the peak across exec, a parent's included, so the high-water mark is read from /proc. */
export function peakBytes(): number {
  const peak = process.platform === 'linux' ? /VmHWM:\s*(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] : undefined;
  return 1024 * (peak === undefined ? process.resourceUsage().maxRSS : Number(peak));
}

export function residentBytes(): number {
  return process.memoryUsage.rss();
}
