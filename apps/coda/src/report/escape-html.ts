/** Text from outside made harmless in HTML, in text and in quoted attributes; and numbers as people write them. */

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] as string);
}

/** 0.9132 → `91.3 %`, with a thin no-break space. */
export function percentHtml(x: number, digits = 1): string {
  return `${(100 * x).toFixed(digits)}\u202f%`;
}

/** 1.23e-7 → `1.2 × 10⁻⁷`; 0.256 → `0.26`; 0 → `0`. HTML that does not break over lines. */
export function scientificHtml(x: number): string {
  if (x === 0) return '0';
  if (!Number.isFinite(x)) return String(x);
  if (x >= 0.01 && x < 1000) return String(Number(x.toPrecision(2)));
  const [mantissa, exponent] = x.toExponential(1).split('e') as [string, string];
  return `<span class="number">${mantissa}\u202f×\u202f10<sup>${exponent.replace('-', '−').replace('+', '')}</sup></span>`;
}

/** 75 → `1 min 15 s`, with no-break spaces. */
export function durationText(seconds: number): string {
  if (seconds < 59.5) return `${seconds.toFixed(seconds < 10 ? 1 : 0)}\u00a0s`;
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  return hours > 0 ? `${hours}\u00a0h ${minutes}\u00a0min` : `${minutes}\u00a0min ${whole % 60}\u00a0s`;
}

/** −0.5 with a real minus sign. */
export function signedText(x: number, digits = 2): string {
  return `${x < 0 ? '−' : '+'}${Math.abs(x).toFixed(digits)}`;
}
