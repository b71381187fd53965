// amqpload: a raw AMQP 0-9-1 load generator that costs as little CPU as it can, so that the broker is the limit.
// One thread, poll() over non-blocking loopback sockets; publishes in batches; counts deliveries by frame scan.
//
//   cc -O2 -o amqpload amqpload.c && ./amqpload --port 5672 --secs 3   (`make bench` does both)
//
// --pubs/--subs/--queues N   publishers, consumers, queues (publisher i and consumer i use queue i mod N)
// --size B                   body bytes (the first 8 carry the time sent, for --latency 1)
// --type default|direct|fanout|topic   where it publishes; --binding KEY for another binding key; --bindings N adds N that never match (topic)
// --keys N                   routing keys 0 to N-1 in turn instead of the queue's name (fanout, or with a binding that matches)
// --priorities N             priorities 0 to N-1 in turn, scattered; 0: none is set
// --window W                 publisher confirms, at most W outstanding (0: no confirms)
// --ack K --prefetch P       ack every K-th delivery (multiple when K > 1); 0: no-ack consumers
// --persistent 1 --durable 1 --qargs k=v,k=v (integers or strings) --name S (queue name part) --keep 1 (do not purge first)
// --cargs k=v,k=v            arguments of the consumers
// --order 1                  bodies carry their number (16 B at least), and each delivery must be the next one (1 publisher, 1 consumer)
// --secs S | --count N       how long, or how many (with --pubs 0: until so many have arrived); --rate R total messages/s; --batch K messages per write; --limit 1: --secs ends the drain, too
// Prints one JSON line: sent, received, confirmed (messages), confirms (frames that said so), rates (received rate counts the drain), latency percentiles in microseconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
typedef uint8_t u8; typedef uint32_t u32; typedef uint64_t u64;
static double now(void){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return t.tv_sec+t.tv_nsec*1e-9;}
static u64 nowns(void){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return t.tv_sec*1000000000ull+t.tv_nsec;}
typedef struct {u8*p;size_t n,cap;} Buf;
static void need(Buf*b,size_t k){if(b->n+k>b->cap){b->cap=(b->n+k)*2+256;b->p=realloc(b->p,b->cap);}}
static void w8(Buf*b,u32 v){need(b,1);b->p[b->n++]=v;}
static void w16(Buf*b,u32 v){w8(b,v>>8);w8(b,v);}
static void w32(Buf*b,u32 v){w16(b,v>>16);w16(b,v&0xffff);}
static void w64(Buf*b,u64 v){w32(b,v>>32);w32(b,(u32)v);}
static void wm(Buf*b,const void*p,size_t n){need(b,n);memcpy(b->p+b->n,p,n);b->n+=n;}
static void ss(Buf*b,const char*s){w8(b,strlen(s));wm(b,s,strlen(s));}
static void ls(Buf*b,const char*s,size_t n){w32(b,n);wm(b,s,n);}
static size_t fstart(Buf*b,int type,int ch){w8(b,type);w16(b,ch);w32(b,0);return b->n;}
static void fend(Buf*b,size_t at){u32 n=b->n-at;b->p[at-4]=n>>24;b->p[at-3]=n>>16;b->p[at-2]=n>>8;b->p[at-1]=n;w8(b,0xCE);}
static size_t mstart(Buf*b,int ch,int cls,int m){size_t a=fstart(b,1,ch);w16(b,cls);w16(b,m);return a;}
static u32 r16(const u8*p){return p[0]<<8|p[1];} static u32 r32(const u8*p){return (u32)p[0]<<24|p[1]<<16|p[2]<<8|p[3];}
static u64 r64(const u8*p){return (u64)r32(p)<<32|r32(p+4);}
static const char*host="127.0.0.1",*user="guest",*pass="guest",*vhost="/"; static int port=5672;
static int npub=1,nsub=1,nq=1,size=64,window=0,persistent=0,durable=0,prefetch=0,ackevery=0,batch=64,mandatory=0,keep=0,order=0;
static double secs=5,rate=0; static long count=0; static const char*xtype="default"; static int latency=0; static const char*qargs="",*cargs=""; static int limit=0; static const char*rk0="q"; static long confirms=0;
static const char*binding=0; static int extra=0,keys=0,priorities=0; static char xname[64];
typedef struct {int fd;Buf in,out;size_t inpos,outpos;long sent,confirmed,got,returned;u64 lasttag;int unacked;int kind;int idx;double next;} Conn;
static void die(const char*s){fprintf(stderr,"amqpload: %s (%s)\n",s,strerror(errno));exit(3);}
static void sendall(int fd,Buf*b){size_t o=0;while(o<b->n){ssize_t k=send(fd,b->p+o,b->n-o,MSG_NOSIGNAL);if(k<=0)die("send");o+=k;}b->n=0;}
static void rd(int fd,void*p,size_t n){size_t o=0;while(o<n){ssize_t k=recv(fd,(u8*)p+o,n-o,0);if(k<=0)die("recv");o+=k;}}
static u8 fr[1<<20];
static u32 waitm(int fd,int cls,int m){for(;;){u8 h[7];rd(fd,h,7);u32 n=r32(h+3);if(n>sizeof fr-1)die("big");rd(fd,fr,n+1);if(h[0]!=1)continue;
  if(r16(fr)==cls&&r16(fr+2)==m)return n; if((r16(fr)==10&&r16(fr+2)==50)||(r16(fr)==20&&r16(fr+2)==40)){fprintf(stderr,"amqpload: closed %u %.*s\n",r16(fr+4),fr[6],fr+7);exit(4);}}}
static void dial(Conn*c){struct sockaddr_in a={.sin_family=AF_INET,.sin_port=htons(port)};inet_pton(AF_INET,host,&a.sin_addr);c->fd=socket(AF_INET,SOCK_STREAM,0);
  if(connect(c->fd,(void*)&a,sizeof a))die("connect");int one=1;setsockopt(c->fd,IPPROTO_TCP,TCP_NODELAY,&one,4);
  Buf b={0};wm(&b,"AMQP\0\0\x09\x01",8);sendall(c->fd,&b);waitm(c->fd,10,10);
  size_t a1=mstart(&b,0,10,11);w32(&b,0);ss(&b,"PLAIN");char r[256];int rn=snprintf(r,256,"%c%s%c%s",0,user,0,pass);ls(&b,r,rn);ss(&b,"en_US");fend(&b,a1);sendall(c->fd,&b);
  waitm(c->fd,10,30);u32 chm=r16(fr+4),fm=r32(fr+6);a1=mstart(&b,0,10,31);w16(&b,chm);w32(&b,fm?fm:131072);w16(&b,0);fend(&b,a1);
  a1=mstart(&b,0,10,40);ss(&b,vhost);ss(&b,"");w8(&b,0);fend(&b,a1);sendall(c->fd,&b);waitm(c->fd,10,41);
  a1=mstart(&b,1,20,10);ss(&b,"");fend(&b,a1);sendall(c->fd,&b);waitm(c->fd,20,11);free(b.p);}
static void qname(char*o,int i){sprintf(o,"load.%s.%d",rk0,i);}
static void table(Buf*t,const char*args){if(!*args)return;char*s=strdup(args),*sv;for(char*k=strtok_r(s,",",&sv);k;k=strtok_r(0,",",&sv)){char*v=strchr(k,'=');*v++=0;ss(t,k);if(*v>='0'&&*v<='9'){w8(t,'I');w32(t,atoi(v));}else{w8(t,'S');ls(t,v,strlen(v));}}free(s);}
static void setup(Conn*c){Buf b={0};size_t a;char q[64];
  if(strcmp(xtype,"default")){a=mstart(&b,1,40,10);w16(&b,0);snprintf(xname,64,"load.%s.%s",xtype,rk0);ss(&b,xname);ss(&b,xtype);w8(&b,durable?2:0);w32(&b,0);fend(&b,a);sendall(c->fd,&b);waitm(c->fd,40,11);}
  for(int i=0;i<nq;i++){qname(q,i);Buf t={0};
    table(&t,qargs);
    a=mstart(&b,1,50,10);w16(&b,0);ss(&b,q);w8(&b,durable?2:0);w32(&b,t.n);wm(&b,t.p,t.n);fend(&b,a);sendall(c->fd,&b);waitm(c->fd,50,11);
    if(!keep&&!strstr(qargs,"stream")){a=mstart(&b,1,50,30);w16(&b,0);ss(&b,q);w8(&b,0);fend(&b,a);sendall(c->fd,&b);waitm(c->fd,50,31);}
    if(strcmp(xtype,"default")){a=mstart(&b,1,50,20);w16(&b,0);ss(&b,q);ss(&b,xname);ss(&b,binding?binding:q);w8(&b,0);w32(&b,0);fend(&b,a);sendall(c->fd,&b);waitm(c->fd,50,21);}
    for(int k=0;k<extra&&strcmp(xtype,"default");k++){char key[64];snprintf(key,64,"other.%d.*.%d.#",k%97,k);a=mstart(&b,1,50,20);w16(&b,0);ss(&b,q);ss(&b,xname);ss(&b,key);w8(&b,0);w32(&b,0);fend(&b,a);sendall(c->fd,&b);waitm(c->fd,50,21);}}
  free(b.p);}
static void pubone(Buf*b,int i){char q[64];if(keys)sprintf(q,"%d",i%keys);else qname(q,i%nq);size_t a=mstart(b,1,60,40);w16(b,0);ss(b,strcmp(xtype,"default")?xname:"");ss(b,q);w8(b,mandatory);fend(b,a);
  a=fstart(b,2,1);w16(b,60);w16(b,0);w64(b,size);w16(b,0x1000|0x8000|(priorities?0x0800:0));ss(b,"application/octet-stream");w8(b,persistent?2:1);if(priorities)w8(b,(u32)i*7%priorities);fend(b,a);
  a=fstart(b,3,1);need(b,size+1);memset(b->p+b->n,'x',size);u64 t=nowns();if(size>=8)memcpy(b->p+b->n,&t,8);if(order){u64 s=i;memcpy(b->p+b->n+8,&s,8);}b->n+=size;fend(b,a);}
static u64*lat;static long nlat,caplat;
static int cmp(const void*a,const void*b){u64 x=*(u64*)a,y=*(u64*)b;return x<y?-1:x>y;}
static long returns=0;
static void onframe(Conn*c,int type,const u8*p,u32 n){
  if(type==1){u32 cls=r16(p),m=r16(p+2);
    if(cls==60&&m==60){u32 k=p[4];c->lasttag=r64(p+5+k);}
    else if(cls==60&&m==80){confirms++;u64 t=r64(p+4);c->confirmed=(p[12]&1)?(long)t:c->confirmed+1;}
    else if(cls==60&&m==120){fprintf(stderr,"amqpload: nack\n");c->confirmed++;}
    else if(cls==60&&m==50){returns++;}
    else if((cls==10&&m==50)||(cls==20&&m==40)){fprintf(stderr,"amqpload: closed %u %.*s\n",r16(p+4),p[6],p+7);exit(4);}
  } else if(type==3){ if(c->kind==1){if(order){u64 s;memcpy(&s,p+8,8);if(s!=(u64)c->got){fprintf(stderr,"amqpload: %ld came out of order\n",c->got);exit(5);}}c->got++; if(latency&&n>=8){u64 t;memcpy(&t,p,8);if(nlat==caplat){caplat=caplat*2+65536;lat=realloc(lat,caplat*8);}lat[nlat++]=nowns()-t;}
      if(ackevery&&++c->unacked>=ackevery){size_t a=mstart(&c->out,1,60,80);w64(&c->out,c->lasttag);w8(&c->out,ackevery>1);fend(&c->out,a);c->unacked=0;}}}}
static int pump(Conn*c){ // returns bytes read
  int total=0;for(int r=0;r<4;r++){need(&c->in,262144);ssize_t k=recv(c->fd,c->in.p+c->in.n,262144,MSG_DONTWAIT);if(k==0)die("peer closed");if(k<0)break;c->in.n+=k;total+=k;if(k<262144)break;}
  size_t o=0;while(c->in.n-o>=8){u32 n=r32(c->in.p+o+3);if(c->in.n-o<n+8)break;if(c->in.p[o+7+n]!=0xCE)die("bad frame end");onframe(c,c->in.p[o],c->in.p+o+7,n);o+=n+8;}
  if(o){memmove(c->in.p,c->in.p+o,c->in.n-o);c->in.n-=o;}return total;}
static void flush(Conn*c){while(c->outpos<c->out.n){ssize_t k=send(c->fd,c->out.p+c->outpos,c->out.n-c->outpos,MSG_DONTWAIT|MSG_NOSIGNAL);if(k<=0){if(errno==EAGAIN)return;die("send");}c->outpos+=k;}c->out.n=c->outpos=0;}
int main(int argc,char**argv){
  for(int i=1;i<argc;i++){char*k=argv[i],*v=i+1<argc?argv[i+1]:"";
#define O(s,x) if(!strcmp(k,s)){x;i++;continue;}
    O("--port",port=atoi(v))O("--user",user=v)O("--pass",pass=v)O("--vhost",vhost=v)O("--pubs",npub=atoi(v))O("--subs",nsub=atoi(v))O("--queues",nq=atoi(v))O("--size",size=atoi(v))
    O("--window",window=atoi(v))O("--persistent",persistent=atoi(v))O("--durable",durable=atoi(v))O("--prefetch",prefetch=atoi(v))O("--ack",ackevery=atoi(v))O("--batch",batch=atoi(v))
    O("--secs",secs=atof(v))O("--rate",rate=atof(v))O("--count",count=atol(v))O("--type",xtype=v)O("--latency",latency=atoi(v))O("--qargs",qargs=v)O("--cargs",cargs=v)O("--limit",limit=atoi(v))O("--name",rk0=v)O("--keep",keep=atoi(v))O("--order",order=atoi(v))O("--mandatory",mandatory=atoi(v))O("--binding",binding=v)O("--bindings",extra=atoi(v))O("--keys",keys=atoi(v))O("--priorities",priorities=atoi(v))
    fprintf(stderr,"usage: amqpload [--port N --pubs N --subs N --queues N --size B --window W(confirms) --persistent 0|1 --durable 0|1 --prefetch N --ack K(0=no-ack) --batch N --secs S --rate R --count N --type default|direct|fanout|topic --latency 1 --qargs k=v,.. --name S --keep 1]\n");return 2;}
  int n=npub+nsub;Conn*c=calloc(n+1,sizeof*c);Conn adm={0};dial(&adm);setup(&adm);
  for(int i=0;i<n;i++){c[i].kind=i>=npub;c[i].idx=c[i].kind?i-npub:i;dial(&c[i]);Buf b={0};size_t a;
    if(c[i].kind){char q[64];qname(q,c[i].idx%nq);if(prefetch){a=mstart(&b,1,60,10);w32(&b,0);w16(&b,prefetch);w8(&b,0);fend(&b,a);sendall(c[i].fd,&b);waitm(c[i].fd,60,11);}
      a=mstart(&b,1,60,20);w16(&b,0);ss(&b,q);ss(&b,"c");w8(&b,ackevery?0:2);Buf t={0};table(&t,cargs);w32(&b,t.n);wm(&b,t.p,t.n);free(t.p);fend(&b,a);sendall(c[i].fd,&b);waitm(c[i].fd,60,21);}
    else if(window){a=mstart(&b,1,85,10);w8(&b,0);fend(&b,a);sendall(c[i].fd,&b);waitm(c[i].fd,85,11);}
    free(b.p);fcntl(c[i].fd,F_SETFL,O_NONBLOCK);}
  struct pollfd*pf=calloc(n,sizeof*pf);double t0=now(),tend=t0+secs;double tlast=t0;int draining=0;long tot=0;double tpub=0;
  long expect_per=(strcmp(xtype,"fanout")==0)?nq:1;
  for(;;){double t=now();long sent=0,got=0,conf=0;
    for(int i=0;i<npub;i++){sent+=c[i].sent;conf+=c[i].confirmed;} for(int i=npub;i<n;i++)got+=c[i].got;
    if(!draining&&((count&&(sent>=count||!npub))||(!count&&t>=tend))){draining=1;tpub=t;}
    if(draining){int done=(!window||conf>=sent)&&(!nsub||got>=(npub?sent*expect_per:count));int out=0;for(int i=0;i<n;i++)out|=c[i].out.n>c[i].outpos;if((done&&!out)||t>tlast+10||(limit&&t>=tend)){tot=got;break;}}
    for(int i=0;i<n;i++){Conn*x=&c[i];
      if(!x->kind&&!draining){ if(x->out.n-x->outpos<65536){int k=batch;if(window&&k>window-(x->sent-x->confirmed))k=window-(x->sent-x->confirmed);
          if(rate){double due=(t-t0)*rate/npub-x->sent;if(k>due)k=(int)due;} if(count&&k>count-sent)k=count-sent;
          if(k>0){if(x->outpos==x->out.n)x->out.n=x->outpos=0;for(int j=0;j<k;j++){pubone(&x->out,x->sent+x->idx);x->sent++;}sent+=k;tlast=t;}}}
      if(x->out.n>x->outpos)flush(x);
      pf[i].fd=x->fd;pf[i].events=POLLIN|((x->out.n>x->outpos)?POLLOUT:0);
      }
    int to=1;if(!draining&&!rate){for(int i=0;i<npub;i++)if(c[i].out.n==c[i].outpos&&(!window||c[i].sent-c[i].confirmed<window))to=0;}
    poll(pf,n,to);
    for(int i=0;i<n;i++)if(pf[i].revents&(POLLIN|POLLHUP|POLLERR)){if(pump(&c[i]))tlast=now();}
  }
  double t1=tlast;
  for(int i=0;i<npub;i++){Buf b={0};size_t a=mstart(&b,1,20,40);w16(&b,200);ss(&b,"done");w16(&b,0);w16(&b,0);fend(&b,a);fcntl(c[i].fd,F_SETFL,0);c[i].in.n=0;sendall(c[i].fd,&b);waitm(c[i].fd,20,41);free(b.p);} // everything sent has been read
  if(!nsub&&!window)t1=now();
  long sent=0,conf=0;for(int i=0;i<npub;i++){sent+=c[i].sent;conf+=c[i].confirmed;}
  printf("{\"sent\":%ld,\"received\":%ld,\"confirmed\":%ld,\"confirms\":%ld,\"returned\":%ld,\"pub_per_s\":%.0f,\"recv_per_s\":%.0f,\"secs\":%.3f",sent,tot,conf,confirms,returns,sent/(((nsub||window)&&tpub?tpub:t1)-t0),tot/(t1-t0),t1-t0);
  if(nlat){qsort(lat,nlat,8,cmp);printf(",\"p50_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f,\"max_us\":%.0f",lat[nlat/2]/1e3,lat[(long)(nlat*.99)]/1e3,lat[(long)(nlat*.999)]/1e3,lat[nlat-1]/1e3);}
  printf("}\n");return 0;}
