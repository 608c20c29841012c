package medallion.lake;

import io.delta.storage.S3SingleDriverLogStore;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.util.Iterator;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FSDataOutputStreamBuilder;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import software.amazon.awssdk.core.exception.SdkServiceException;

/**
 * Delta's log on S3, safe with several drivers: a version is written with `If-None-Match: *`, so the store itself lets
 * exactly one writer have it. The loser is told that the file exists, which Delta takes as an ordinary conflict.
 *
 * Delta's own store for S3 looks first and writes then, under a lock within one JVM: a second driver overwrites.
 */
public final class ConditionalPutLogStore extends S3SingleDriverLogStore {
  private static final String CONDITIONAL = "fs.option.create.conditional.overwrite";
  private static final int TAKEN = 412;
  private static final int BEING_WRITTEN = 409;
  private static final int ATTEMPTS = 5;
  private static final long PAUSE_MILLIS = 200;

  public ConditionalPutLogStore(Configuration configuration) {
    super(configuration);
  }

  @Override
  public void write(Path path, Iterator<String> actions, Boolean overwrite, Configuration configuration)
      throws IOException {
    if (overwrite) {
      super.write(path, actions, true, configuration);
      return;
    }
    FileSystem store = path.getFileSystem(configuration);
    byte[] content = lines(actions);
    for (int attempt = 1; ; attempt++) {
      try {
        put(store, path, content);
        return;
      } catch (IOException refused) {
        int status = status(refused);
        if (status == TAKEN) {
          throw taken(path, refused);
        }
        // Another writer is at it. It may yet fail, so the version is free until it is there.
        if (status != BEING_WRITTEN || attempt == ATTEMPTS) {
          throw refused;
        }
        pause();
        if (store.exists(path)) {
          throw taken(path, refused);
        }
      }
    }
  }

  private static void put(FileSystem store, Path path, byte[] content) throws IOException {
    // `must`: a file system that does not know the option refuses, instead of overwriting.
    FSDataOutputStreamBuilder<?, ?> builder = store.createFile(path);
    builder.must(CONDITIONAL, true);
    builder.recursive();
    FSDataOutputStream out = builder.build();
    try {
      out.write(content);
    } catch (IOException | RuntimeException failed) {
      out.abort();
      throw failed;
    }
    out.close();
  }

  private static byte[] lines(Iterator<String> actions) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    while (actions.hasNext()) {
      bytes.write((actions.next() + "\n").getBytes(StandardCharsets.UTF_8));
    }
    return bytes.toByteArray();
  }

  /** The answer's HTTP status; 0 when the failure was not an answer. */
  private static int status(Throwable failure) {
    for (Throwable each = failure; each != null; each = each.getCause()) {
      if (each instanceof SdkServiceException) {
        return ((SdkServiceException) each).statusCode();
      }
    }
    return 0;
  }

  private static FileAlreadyExistsException taken(Path path, IOException cause) {
    FileAlreadyExistsException exists = new FileAlreadyExistsException(path.toString());
    exists.initCause(cause);
    return exists;
  }

  private static void pause() throws IOException {
    try {
      Thread.sleep(PAUSE_MILLIS);
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
      throw new InterruptedIOException("stopped while waiting for another writer");
    }
  }
}
