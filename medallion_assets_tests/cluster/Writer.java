import io.delta.storage.LogStore;
import java.nio.file.FileAlreadyExistsException;
import java.util.Iterator;
import java.util.Scanner;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;

/**
 * One driver's LogStore by itself. Arguments: class, configuration file, path, name. Says "writing" when the store asks
 * for the content, hands it over on the next line of input, and says how the write ended: "written" or "taken".
 */
public final class Writer {
  public static void main(String[] arguments) throws Exception {
    Configuration configuration = new Configuration();
    configuration.addResource(new Path(arguments[1]));
    LogStore store =
        (LogStore) Class.forName(arguments[0]).getConstructor(Configuration.class).newInstance(configuration);
    Scanner input = new Scanner(System.in);
    Iterator<String> content =
        new Iterator<>() {
          private boolean given;

          @Override
          public boolean hasNext() {
            return !given;
          }

          @Override
          public String next() {
            System.out.println("writing");
            input.nextLine();
            given = true;
            return arguments[3];
          }
        };
    try {
      store.write(new Path(arguments[2]), content, false, configuration);
      System.out.println("written");
    } catch (FileAlreadyExistsException lost) {
      System.out.println("taken");
    }
    System.exit(0);
  }
}
