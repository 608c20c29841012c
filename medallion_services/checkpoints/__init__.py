"""The checkpoint doctor: what is damaged in a stream's checkpoint, what that means, and the way out.

`reading` turns a directory into values, `judging` decides on these values alone, `repair` carries a decision out,
`rebase` prepares a new generation that neither loses nor doubles a row. No JVM, no Spark.
"""
