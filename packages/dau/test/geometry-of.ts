/** What of a test's case is an option of the functions: they refuse the rest. */
export function geometryOf({ stride, padding }: { readonly stride: number; readonly padding: number }): {
  stride: number;
  padding: number;
} {
  return { stride, padding };
}
