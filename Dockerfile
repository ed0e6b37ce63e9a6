# vgate alone: the servers behind it are other containers, or no containers at all.
FROM python:3.11-slim

COPY pyproject.toml README.md /src/
COPY vgate /src/vgate
RUN pip install --no-cache-dir /src && rm -r /src && useradd --system --no-create-home vgate

USER vgate
EXPOSE 15306
ENTRYPOINT ["vgate"]
CMD ["serve", "--vschema", "/etc/vgate/vschema.yaml", "--config", "/etc/vgate/vgate.yaml", "--listen", "0.0.0.0:15306"]
