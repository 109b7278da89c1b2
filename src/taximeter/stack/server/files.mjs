// The bytes of the stored objects, in one folder. Each file is called by the digest of its object's
// path, so that no path can mean another place, or a folder where another has a file.

import { createHash, randomUUID } from 'node:crypto';
import { copyFile, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

const digest = (value) => createHash('sha256').update(value).digest('hex');

/** What @supabase/lite asks of a place for bytes (its StorageAdapter). */
export class Files {
  driver = null;
  #folder;

  /** @param {string} folder */
  constructor(folder) {
    this.#folder = folder;
  }

  async open() {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    return this;
  }

  async getObject(bucket, key) {
    try {
      const [metadata, body] = await Promise.all([
        this.headObject(bucket, key),
        readFile(this.#bytes(bucket, key)),
      ]);
      return { httpStatusCode: 200, metadata, body };
    } catch (error) {
      // Without a body it is answered as an object that is not there.
      if (error.code === 'ENOENT') return { httpStatusCode: 404, metadata: {} };
      throw error;
    }
  }

  async headObject(bucket, key) {
    const [described, { size, mtime }] = await Promise.all([
      readFile(this.#description(bucket, key), 'utf8'),
      stat(this.#bytes(bucket, key)),
    ]);
    return { ...JSON.parse(described), size, contentLength: size, lastModified: mtime };
  }

  async uploadObject(bucket, key, _version, body, mimetype, cacheControl) {
    const bytes = Buffer.isBuffer(body) ? body : await buffer(body);
    const description = { mimetype, cacheControl, eTag: `"${digest(bytes)}"` };
    await this.#replace(this.#bytes(bucket, key), bytes);
    await this.#replace(this.#description(bucket, key), JSON.stringify(description));
    return this.headObject(bucket, key);
  }

  async deleteObject(bucket, key) {
    await rm(this.#bytes(bucket, key), { force: true });
    await rm(this.#description(bucket, key), { force: true });
  }

  async deleteObjects(bucket, keys) {
    for (const key of keys) await this.deleteObject(bucket, key);
  }

  async copyObject(bucket, key, _version, toBucket, toKey) {
    await copyFile(this.#bytes(bucket, key), this.#bytes(toBucket, toKey));
    await copyFile(this.#description(bucket, key), this.#description(toBucket, toKey));
    const { eTag, lastModified } = await this.headObject(toBucket, toKey);
    return { httpStatusCode: 200, eTag, lastModified };
  }

  async privateAssetUrl(bucket, key) {
    return `file://${this.#bytes(bucket, key)}`;
  }

  #bytes(bucket, key) {
    return join(this.#folder, digest(`${bucket}/${key}`));
  }

  #description(bucket, key) {
    return `${this.#bytes(bucket, key)}.json`;
  }

  /** In one step, so that nobody reads half a file. */
  async #replace(file, content) {
    const temporary = join(this.#folder, randomUUID());
    await writeFile(temporary, content);
    await rename(temporary, file);
  }
}
