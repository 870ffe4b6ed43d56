/** Places in a bundle, as those of the files that it was made from. */
import { SourceMap } from "node:module";

const comment = "\n//# sourceMappingURL=data:application/json;base64,";
/** A stack has a place or two in each line. */
const place = /\bfunction\.js:(\d{1,9}):(\d{1,9})/g;

export class SourcePlaces {
  #encoded: string | undefined;
  #map: SourceMap | undefined;

  /** @param source A source text; one without a map inside keeps its places. */
  constructor(source: string) {
    const at = source.lastIndexOf(comment);
    if (at >= 0) this.#encoded = source.slice(at + comment.length).trimEnd();
  }

  /** A text for people with the places of the original files. */
  shown(text: string): string {
    if ((this.#encoded === undefined && this.#map === undefined) || !text.includes("function.js:"))
      return text;
    const map = this.#read();
    if (map === undefined) return text;
    return text.replace(place, (whole, line: string, column: string) => {
      const origin = map.findOrigin(Number(line), Number(column));
      if (!("fileName" in origin) || origin.fileName === undefined) return whole;
      return `${origin.fileName}:${origin.lineNumber}:${origin.columnNumber}`;
    });
  }

  /** Read when the first error needs it. A map that is damaged is none. */
  #read(): SourceMap | undefined {
    const encoded = this.#encoded;
    if (encoded === undefined) return this.#map;
    this.#encoded = undefined;
    try {
      this.#map = new SourceMap(JSON.parse(Buffer.from(encoded, "base64").toString()));
    } catch {
      this.#map = undefined;
    }
    return this.#map;
  }
}
