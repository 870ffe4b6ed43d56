/** A greeting in one of two languages. */
export function greeting(name: string, language: string): string {
  return language === "de" ? `Guten Tag, ${name}` : `Hello, ${name}`;
}
